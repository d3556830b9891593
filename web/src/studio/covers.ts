/** The covers as they are drawn for everybody, until those with the child are painted. */
import { useEffect, useState } from "preact/hooks";
import { api, data } from "~/api/http";

interface DrawnCovers {
  frontUrl?: string;
  backUrl?: string;
}

export function useDrawnCovers(slug: string): DrawnCovers {
  const [covers, setCovers] = useState<DrawnCovers>({});
  useEffect(() => {
    data(api.GET("/api/v1/books/{slug}/previews", { params: { path: { slug } } })).then(
      ({ items }) => {
        const url = (name: string) => items.find((picture) => picture.name === name)?.url;
        setCovers({ frontUrl: url("front"), backUrl: url("back") });
      },
      () => setCovers({}),
    );
  }, [slug]);
  return covers;
}
