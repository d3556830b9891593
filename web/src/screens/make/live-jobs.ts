/** The jobs of this screen and their live progress. */
import { useEffect, useRef, useState } from "preact/hooks";
import { type ProgressNews, useFeed } from "~/api/feed";

export interface LiveProgress extends ProgressNews {
  /** Expected seconds until the last step; null while it cannot be told. */
  leftS: number | null;
}

/** Return the latest progress of these jobs, and the function that forgets one. */
export function useLiveProgress(ids: readonly string[]): Map<string, LiveProgress> {
  const [live, setLive] = useState(new Map<string, LiveProgress>());
  const starts = useRef(new Map<string, { at: number; progress: number }>());
  const wanted = useRef(new Set(ids));
  useEffect(() => {
    wanted.current = new Set(ids);
  }, [ids]);
  useFeed({
    progress: (news) => {
      const mine = news.filter((each) => wanted.current.has(each.id));
      if (!mine.length) return;
      setLive((before) => {
        const next = new Map(before);
        for (const each of mine) next.set(each.id, { ...each, preview: each.preview ?? before.get(each.id)?.preview, leftS: left(starts.current, each) });
        return next;
      });
    },
    jobs: (news) => {
      const ended = news.filter((each) => each.status !== "running" && wanted.current.has(each.id));
      if (!ended.length) return;
      for (const each of ended) starts.current.delete(each.id);
      setLive((before) => new Map([...before].filter(([id]) => !ended.some((each) => each.id === id))));
    },
  });
  return live;
}

/** Estimate from the speed since the first step that was seen. */
function left(starts: Map<string, { at: number; progress: number }>, news: ProgressNews): number | null {
  const start = starts.get(news.id);
  if (!start || news.progress < start.progress) {
    starts.set(news.id, { at: Date.now(), progress: news.progress });
    return null;
  }
  const made = news.progress - start.progress;
  return made > 0 ? ((Date.now() - start.at) / 1000 / made) * (1 - news.progress) : null;
}
