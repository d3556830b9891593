/** One picture with what it was made from, beside the grid; on a phone a sheet from below. */
import { useQuery } from "@tanstack/react-query";
import { Link, useLocation } from "wouter-preact";
import { api, data } from "~/api/http";
import { ago, bytes, moment, useMessages } from "~/app/i18n";
import { may, ownerQuery, useSession } from "~/app/session";
import { toast } from "~/app/toasts";
import { Button, ButtonLink, IconButton } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { Icon } from "~/parts/icon";
import { Notice, ProblemNotice, Waiting } from "~/parts/page";
import { Picture } from "~/parts/picture";
import { replay } from "./actions";
import { type Artifact, type Shown, local } from "./artifacts";
import { messages } from "./messages";

interface DetailsProps {
  id: string;
  /** The picture as the grid shows it; absent for one that was opened by its address. */
  shown: Shown | undefined;
  onClose: () => void;
  onStep: ((step: number) => void) | undefined;
  onRate: (rating: number) => void;
  onDelete: () => void;
}

export function Details({ id, shown, onClose, onStep, onRate, onDelete }: DetailsProps) {
  const t = useMessages(messages);
  const { owner } = useSession();
  const found = useQuery({
    queryKey: ["artifact", id, owner],
    queryFn: ({ signal }) => data(api.GET("/api/v1/artifacts/{artifact_id}", { params: { path: { artifact_id: id }, query: ownerQuery() }, signal })),
    staleTime: 5 * 60_000,
  });
  const item = found.data;
  const leave = (event: KeyboardEvent) => {
    if (event.key === "Escape") onClose();
  };
  return (
    <aside class="gallery-details" aria-label={t("details")} onKeyDown={leave}>
      <header class="gallery-details-head">
        {onStep && <IconButton icon="left" label={t("previous")} onClick={() => onStep(-1)} />}
        {onStep && <IconButton icon="right" label={t("next")} onClick={() => onStep(1)} />}
        <span class="gallery-grow" />
        <IconButton icon="close" label={t("closeDetails")} onClick={onClose} />
      </header>
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <Waiting what={t("details")} />}
      {item && <Body key={id} item={item} rating={shown?.rating ?? item.rating} onRate={onRate} onDelete={onDelete} />}
    </aside>
  );
}

function Body({ item, rating, onRate, onDelete }: { item: Artifact; rating: number; onRate: (rating: number) => void; onDelete: () => void }) {
  const t = useMessages(messages);
  const [, navigate] = useLocation();
  const mayWrite = may("jobs:write");
  const again = async () => {
    try {
      const job = await replay(item);
      toast({ text: t("replayed", { job: job.id }), tone: "good" });
    } catch (error) {
      toast({ text: error instanceof Error ? error.message : String(error), tone: "bad" });
    }
  };
  const path = `/api/v1/artifacts/${item.id}`;
  return (
    <div class="gallery-details-body">
      {item.url && item.mediaType.startsWith("video/") && <video class="picture" src={local(item.url)} controls loop aria-label={item.prompt || item.recipe} />}
      {item.url && item.mediaType.startsWith("image/") && (
        <a href={local(item.url)} target="_blank" rel="noreferrer" aria-label={t("fullSize")}>
          <Picture src={local(item.url)} alt={item.prompt || item.recipe} width={item.width} height={item.height} isContained />
        </a>
      )}
      {!item.available && <Notice>{item.deletedAt ? t("wasDeleted", { when: ago(item.deletedAt) }) : t("retentionOver")}</Notice>}
      <Stars rating={rating} onRate={mayWrite ? onRate : undefined} />
      <div class="gallery-buttons">
        {mayWrite && <Button kind="primary" icon="edit" onClick={() => navigate(`/make?from=${item.job}`)}>{t("oneChange")}</Button>}
        {mayWrite && <Button icon="refresh" onClick={() => void again()}>{t("replay")}</Button>}
        {item.url && <ButtonLink href={local(item.url)} icon="download" isDownload>{t("download")}</ButtonLink>}
        <ButtonLink href={`/jobs/${item.job}`} icon="queue">{t("job")}</ButtonLink>
        {mayWrite && item.available && <Button kind="danger" icon="delete" onClick={onDelete}>{t("delete")}</Button>}
        <CopyAs call={{ method: "PATCH", path, body: { rating: rating || 5 }, cli: `imagemill artifacts rate ${item.id} ${rating || 5}` }} />
      </div>
      {item.prompt && <p class="gallery-prompt">{item.prompt}</p>}
      <Facts item={item} />
    </div>
  );
}

function Facts({ item }: { item: Artifact }) {
  const t = useMessages(messages);
  const facts: [string, string | null][] = [
    [t("model"), item.model],
    [t("seed"), item.seed === null ? null : String(item.seed)],
    [t("size"), item.width ? `${item.width} × ${item.height}` : null],
    [t("file"), `${item.mediaType}, ${bytes(item.size)}`],
    [t("made"), `${moment(item.createdAt)} (${ago(item.createdAt)})`],
    [t("recipe"), item.recipe],
    [t("node"), item.simulated ? `${item.node ?? ""} (${t("simulated")})` : item.node],
    [t("owner"), item.owner],
    [t("name"), item.name],
  ];
  return (
    <dl class="gallery-facts">
      {facts.map(([name, value]) => value && <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
      <div><dt>{t("sameJob")}</dt><dd><Link href={`/gallery?q=job:${item.job}`}>{t("showAll")}</Link></dd></div>
    </dl>
  );
}

/** Five stars; the chosen one pressed again takes the rating away. */
function Stars({ rating, onRate }: { rating: number; onRate: ((rating: number) => void) | undefined }) {
  const t = useMessages(messages);
  return (
    <div class="gallery-rating" role="group" aria-label={t("rating")}>
      {[1, 2, 3, 4, 5].map((value) => (
        <button key={value} type="button" class={value <= rating ? "gallery-star gallery-star-on" : "gallery-star"} aria-pressed={value === rating} aria-label={t("stars", { count: value })} disabled={!onRate}
          onClick={() => onRate?.(value === rating ? 0 : value)}>
          <Icon name="star" size={20} />
        </button>
      ))}
    </div>
  );
}
