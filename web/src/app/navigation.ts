/** The table of screens: the menu, the palette, the routes and the tests are made from it. */
import type { ComponentType, FunctionComponent } from "preact";
import { lazy } from "preact/compat";
import type { IconName } from "~/parts/icon";
import type { NavigationKey } from "./messages";

export interface Screen {
  name: NavigationKey;
  path: string;
  /** Further paths of the screen, in the router's pattern. */
  more?: string[];
  icon: IconName;
  /** The scope without which the screen is not offered. */
  scope?: string;
  /** Screens of one group stand together in the menu. */
  group: "pictures" | "work" | "products" | "installation";
  isHidden?: boolean;
  component: FunctionComponent;
}

const screen = (load: () => Promise<{ default: ComponentType }>) => lazy(load) as unknown as FunctionComponent;

export const SCREENS: Screen[] = [
  { name: "make", path: "/", more: ["/make"], icon: "make", group: "pictures", scope: "jobs:write", component: screen(() => import("~/screens/make")) },
  { name: "gallery", path: "/gallery", more: ["/gallery/:artifact"], icon: "gallery", group: "pictures", component: screen(() => import("~/screens/gallery")) },
  { name: "queue", path: "/queue", icon: "queue", group: "work", component: screen(() => import("~/screens/queue")) },
  { name: "job", path: "/jobs/:id", icon: "queue", group: "work", isHidden: true, component: screen(() => import("~/screens/job")) },
  { name: "failures", path: "/failures", icon: "failures", group: "work", component: screen(() => import("~/screens/failures")) },
  { name: "workflows", path: "/workflows", more: ["/workflows/:name"], icon: "workflows", group: "work", component: screen(() => import("~/screens/workflows")) },
  { name: "models", path: "/models", more: ["/models/:air"], icon: "models", group: "work", component: screen(() => import("~/screens/models")) },
  { name: "characters", path: "/characters", more: ["/characters/:id"], icon: "characters", group: "products", component: screen(() => import("~/screens/characters")) },
  { name: "library", path: "/library", more: ["/library/:id"], icon: "library", group: "products", component: screen(() => import("~/screens/library")) },
  { name: "books", path: "/personalizations", more: ["/personalizations/:id"], icon: "books", group: "products", component: screen(() => import("~/screens/books")) },
  { name: "nodes", path: "/nodes", more: ["/nodes/:name"], icon: "nodes", group: "installation", scope: "nodes:read", component: screen(() => import("~/screens/nodes")) },
  { name: "watch", path: "/watch", icon: "watch", group: "installation", scope: "nodes:read", component: screen(() => import("~/screens/watch")) },
  { name: "faults", path: "/faults", icon: "faults", group: "installation", scope: "admin", component: screen(() => import("~/screens/faults")) },
  { name: "people", path: "/people", more: ["/people/:owner"], icon: "people", group: "installation", scope: "account:read", component: screen(() => import("~/screens/people")) },
  { name: "webhooks", path: "/webhooks", more: ["/webhooks/:id"], icon: "webhooks", group: "installation", scope: "account:read", component: screen(() => import("~/screens/webhooks")) },
  { name: "start", path: "/start", icon: "make", group: "pictures", isHidden: true, component: screen(() => import("~/screens/start")) },
];
