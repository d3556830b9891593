/** A place for one photo: choose it, take it, drop it, or paste it. A large one is made smaller here. */
import { useEffect, useState } from "preact/hooks";
import { useMessages } from "~/app/i18n";
import { DropZone } from "~/parts/drop-zone";
import { startMessages } from "./start-messages";

export interface PickedPhoto {
  file: Blob;
  url: string;
}

const MOST_BYTES = 10 * 2 ** 20;
const SMALLER_PX = 3000;

interface PhotoPickerProps {
  label: string;
  photo?: PickedPhoto;
  isMissing: boolean;
  onPick: (photo: PickedPhoto) => void;
}

export function PhotoPicker({ label, photo, isMissing, onPick }: PhotoPickerProps) {
  const t = useMessages(startMessages);
  const [isUnreadable, setUnreadable] = useState(false);
  useEffect(() => () => {
    if (photo) URL.revokeObjectURL(photo.url);
  }, [photo]);
  const take = async ([file]: File[]) => {
    if (!file) return;
    const fitted = await fitPhoto(file);
    setUnreadable(fitted === null);
    if (fitted) onPick({ file: fitted, url: URL.createObjectURL(fitted) });
  };
  return (
    <div class={`studio-photo${isMissing ? " studio-wrong" : ""}`}>
      <DropZone label={photo ? t("otherPhoto") : label} accept="image/jpeg,image/png,image/webp" onFiles={(files) => void take(files)}>
        {photo && <img src={photo.url} alt={t("chosen")} />}
      </DropZone>
      {isUnreadable && <p class="field-error" role="alert">{t("unreadable")}</p>}
      {isMissing && !isUnreadable && <p class="field-error" role="alert">{t("photoMissing")}</p>}
    </div>
  );
}

/** Return a photo that the server takes; null for a file that is none. */
async function fitPhoto(file: File): Promise<Blob | null> {
  try {
    const picture = await createImageBitmap(file);
    if (file.size <= MOST_BYTES && ["image/jpeg", "image/png", "image/webp"].includes(file.type)) return file;
    const scale = Math.min(1, SMALLER_PX / Math.max(picture.width, picture.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(picture.width * scale);
    canvas.height = Math.round(picture.height * scale);
    canvas.getContext("2d")?.drawImage(picture, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  } catch {
    return null;
  }
}
