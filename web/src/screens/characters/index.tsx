/** Characters: the list of them, and one with its sheet and its pictures. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { Link, useLocation, useParams } from "wouter-preact";
import { api, data } from "~/api/http";
import { useMessages } from "~/app/i18n";
import { messages as names } from "~/app/messages";
import { may } from "~/app/session";
import { Button } from "~/parts/button";
import { Dialog } from "~/parts/dialog";
import { TextInput } from "~/parts/field";
import { Icon } from "~/parts/icon";
import { Empty, Notice, Page, ProblemNotice, Waiting } from "~/parts/page";
import { localUrl, useProductOwner } from "~/parts/product-owner";
import { CharacterBoard } from "./board";
import { messages } from "./messages";
import { useCharacterNews } from "./pictures";
import "./style.css";

const ID = /^[A-Za-z0-9_-]{1,64}$/;

export default function Characters() {
  const { id } = useParams<{ id?: string }>();
  return id ? <CharacterBoard key={id} id={decodeURIComponent(id)} /> : <List />;
}

function List() {
  const t = useMessages(messages);
  const n = useMessages(names);
  const { query, other } = useProductOwner();
  const [isAdding, setAdding] = useState(false);
  useCharacterNews();
  const found = useInfiniteQuery({
    queryKey: ["characters", "list", other],
    queryFn: ({ pageParam, signal }) => data(api.GET("/api/v1/image-generation/characters", { params: { query: { limit: 60, ...(pageParam ? { cursor: pageParam } : {}), ...query } }, signal })),
    initialPageParam: "",
    getNextPageParam: (page) => page.next ?? undefined,
  });
  const items = (found.data?.pages ?? []).flatMap((page) => page.items);
  const add = may("jobs:write") && !other && <Button kind="primary" icon="add" onClick={() => setAdding(true)}>{t("add")}</Button>;
  return (
    <Page title={n("characters")} actions={add} call={{ method: "GET", path: "/api/v1/image-generation/characters", cli: "imagemill characters list" }}>
      {other && <Notice>{t("readsOther", { owner: other })}</Notice>}
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <Waiting what={t("characters")} />}
      {found.data && !items.length && <Empty icon="characters" title={t("none")}><p>{t("noneText")}</p>{add}</Empty>}
      <ul class="characters-list">
        {items.map(({ characterId, character, avatarUrl, stickers }) => (
          <li key={characterId}>
            <Link href={`/characters/${characterId}`} class="characters-card">
              {avatarUrl ? <img src={localUrl(avatarUrl)} alt="" loading="lazy" /> : <span class="characters-no-avatar"><Icon name="characters" size={40} /></span>}
              <strong>{character.name || characterId}</strong>
              <span class="soft small">{character.name ? characterId : character.physical}</span>
              <span class="soft small">{t("emotionsOf", { count: Math.min(8, stickers) })}</span>
            </Link>
          </li>
        ))}
      </ul>
      {found.hasNextPage && <div><Button isBusy={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>{t("more")}</Button></div>}
      {isAdding && <NewCharacter onClose={() => setAdding(false)} />}
    </Page>
  );
}

function NewCharacter({ onClose }: { onClose: () => void }) {
  const t = useMessages(messages);
  const [, navigate] = useLocation();
  const [id, setId] = useState("");
  const isRight = ID.test(id);
  const open = (event: Event) => {
    event.preventDefault();
    if (isRight) navigate(`/characters/${id}`);
  };
  return (
    <Dialog title={t("add")} isOpen onClose={onClose} actions={<Button kind="primary" disabled={!isRight} onClick={open}>{t("open")}</Button>}>
      <form onSubmit={open}>
        <TextInput label={t("id")} hint={t("idHint")} placeholder="lia" value={id} error={id && !isRight ? t("idWrong") : undefined} onInput={setId} autofocus />
      </form>
    </Dialog>
  );
}
