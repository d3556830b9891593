/** Notices that stand on every page, as that of a paused queue. */
export function Banners() {
  return null;
}
