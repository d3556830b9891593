/** The icons, by what they stand for. */
import {
  IconAlertTriangle, IconArrowBackUp, IconArrowsMaximize, IconBolt, IconBook, IconBooks, IconBug, IconCheck, IconChevronDown, IconChevronLeft, IconChevronRight,
  IconCircleX, IconCopy, IconCpu, IconDice3, IconDotsVertical, IconDownload, IconEye, IconFilter, IconFlask, IconHeartRateMonitor, IconLayoutGrid, IconListDetails, IconLogout,
  IconMenu2, IconMoodSmile, IconPhoto, IconPlayerPause, IconPlayerPlay, IconPlus, IconRefresh, IconSchema, IconSearch, IconServer2, IconSettings, IconShare, IconSparkles,
  IconStack2, IconStar, IconTrash, IconUpload, IconUsers, IconWebhook, IconX, IconZoomIn, IconPencil, IconInfoCircle,
} from "@tabler/icons-preact";

const ICONS = {
  make: IconSparkles, gallery: IconPhoto, queue: IconListDetails, failures: IconAlertTriangle, workflows: IconSchema, models: IconStack2, characters: IconMoodSmile,
  library: IconLayoutGrid, books: IconBooks, book: IconBook, nodes: IconServer2, watch: IconHeartRateMonitor, faults: IconBug, people: IconUsers, webhooks: IconWebhook,
  search: IconSearch, menu: IconMenu2, close: IconX, copy: IconCopy, check: IconCheck, download: IconDownload, upload: IconUpload, delete: IconTrash, undo: IconArrowBackUp,
  refresh: IconRefresh, add: IconPlus, down: IconChevronDown, left: IconChevronLeft, right: IconChevronRight, more: IconDotsVertical, pause: IconPlayerPause, play: IconPlayerPlay,
  dice: IconDice3, star: IconStar, eye: IconEye, filter: IconFilter, settings: IconSettings, share: IconShare, zoom: IconZoomIn, maximize: IconArrowsMaximize, edit: IconPencil,
  info: IconInfoCircle, cancel: IconCircleX, signOut: IconLogout, test: IconFlask, fast: IconBolt, cpu: IconCpu,
} as const;

export type IconName = keyof typeof ICONS;

/** An icon beside a text or in a labelled button; it is hidden from readers of the screen. */
export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  const Drawn = ICONS[name];
  return <Drawn size={size} stroke={1.75} aria-hidden="true" class="icon" />;
}
