/** Two pictures over each other, with a slider between them. */
import { useState } from "preact/hooks";
import { useMessages } from "~/app/i18n";
import { Dialog } from "~/parts/dialog";
import { messages } from "./messages";

export function Compare({ urls, onClose }: { urls: readonly string[]; onClose: () => void }) {
  const t = useMessages(messages);
  const [at, setAt] = useState(50);
  const [first, second] = urls;
  return (
    <Dialog title={t("compareTitle")} isOpen={urls.length === 2} onClose={onClose} isWide>
      <div class="make-compare">
        <img src={first} alt="1" />
        <img src={second} alt="2" style={{ clipPath: `inset(0 0 0 ${at}%)` }} />
        <span class="make-compare-line" style={{ left: `${at}%` }} />
      </div>
      <input type="range" min={0} max={100} value={at} aria-label={t("slider")} onInput={(event) => setAt(event.currentTarget.valueAsNumber)} />
    </Dialog>
  );
}
