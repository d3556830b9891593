/** Notices that stand on every page: what is paused, and the operations that run. */
import { OperationTray } from "./operation-tray";
import { PauseBanner } from "./pause-banner";
import "./banners.css";

export function Banners() {
  return (
    <>
      <PauseBanner />
      <OperationTray />
    </>
  );
}
