/** A place to drop a file, paste it, or choose it. */
import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import { Icon } from "./icon";

interface DropZoneProps {
  label: string;
  /** The accepted types, as of an input: `image/*,.json`. */
  accept: string;
  onFiles: (files: File[]) => void;
  isMultiple?: boolean;
  children?: ComponentChildren;
}

export function DropZone({ label, accept, onFiles, isMultiple, children }: DropZoneProps) {
  const id = useId();
  const [isOver, setOver] = useState(false);
  const take = (list: FileList | null | undefined) => {
    const files = [...(list ?? [])];
    if (files.length) onFiles(isMultiple ? files : files.slice(0, 1));
  };
  return (
    <div class={`drop-zone${isOver ? " drop-zone-over" : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        take(event.dataTransfer?.files);
      }}
      onPaste={(event) => take(event.clipboardData?.files)}>
      <label for={id}>
        <Icon name="upload" />
        <span>{label}</span>
      </label>
      <input id={id} type="file" accept={accept} multiple={isMultiple}
        onChange={(event) => {
          take(event.currentTarget.files);
          event.currentTarget.value = "";
        }} />
      {children}
    </div>
  );
}
