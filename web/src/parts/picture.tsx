/** A picture that keeps its place while it loads. */
import { useState } from "preact/hooks";

interface PictureProps {
  src: string;
  alt: string;
  width?: number;
  height?: number;
  isContained?: boolean;
}

export function Picture({ src, alt, width, height, isContained }: PictureProps) {
  const [isMissing, setMissing] = useState(false);
  const ratio = width && height ? { aspectRatio: `${width} / ${height}` } : undefined;
  if (isMissing) return <div class="picture picture-missing" style={ratio} role="img" aria-label={alt}>{alt}</div>;
  return (
    <img class={`picture${isContained ? " picture-contained" : ""}`} style={ratio} src={src} alt={alt} width={width} height={height}
      loading="lazy" decoding="async" onError={() => setMissing(true)} />
  );
}
