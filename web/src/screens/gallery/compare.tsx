/** Two pictures over each other, with a slider between them, and in what they differ. */
import { useQueries } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { api, data } from "~/api/http";
import { useMessages } from "~/app/i18n";
import { ownerQuery } from "~/app/session";
import { Dialog } from "~/parts/dialog";
import { Slider } from "~/parts/field";
import { ProblemNotice, Waiting } from "~/parts/page";
import { type Artifact, local } from "./artifacts";
import { messages } from "./messages";

export function Compare({ ids, onClose }: { ids: [string, string]; onClose: () => void }) {
  const t = useMessages(messages);
  const found = useQueries({
    queries: ids.map((id) => ({
      queryKey: ["artifact", id],
      queryFn: () => data(api.GET("/api/v1/artifacts/{artifact_id}", { params: { path: { artifact_id: id }, query: ownerQuery() } })),
      staleTime: 5 * 60_000,
    })),
  });
  const [first, second] = found.map((each) => each.data);
  const error = found.find((each) => each.error)?.error;
  return (
    <Dialog title={t("compareTitle")} isOpen onClose={onClose} isWide>
      {error && <ProblemNotice error={error} />}
      {!error && !(first && second) && <Waiting what={t("pictures")} />}
      {first && second && <Both first={first} second={second} />}
    </Dialog>
  );
}

function Both({ first, second }: { first: Artifact; second: Artifact }) {
  const t = useMessages(messages);
  const [cut, setCut] = useState(50);
  const rows: [string, string, string][] = [
    [t("seed"), String(first.seed ?? ""), String(second.seed ?? "")],
    [t("model"), first.model ?? "", second.model ?? ""],
    [t("size"), `${first.width} × ${first.height}`, `${second.width} × ${second.height}`],
    [t("prompt"), first.prompt, second.prompt],
    [t("node"), first.node ?? "", second.node ?? ""],
  ];
  const different = rows.filter(([, one, other]) => one !== other);
  return (
    <>
      <div class="gallery-compare" style={{ "--cut": `${cut}%`, aspectRatio: `${first.width || 1} / ${first.height || 1}` }}>
        {first.url && <img src={local(first.url)} alt={t("left", { name: first.prompt || first.recipe })} />}
        {second.url && <img class="gallery-over" src={local(second.url)} alt={t("right", { name: second.prompt || second.recipe })} />}
        <span class="gallery-cut" aria-hidden="true" />
      </div>
      <Slider label={t("compareSlider")} min={0} max={100} value={cut} onInput={setCut} shown={`${cut} %`} />
      {different.length > 0 && (
        <table class="gallery-differences">
          <thead><tr><th scope="col">{t("differs")}</th><th scope="col">{t("leftSide")}</th><th scope="col">{t("rightSide")}</th></tr></thead>
          <tbody>{different.map(([name, one, other]) => <tr key={name}><th scope="row">{name}</th><td>{one}</td><td>{other}</td></tr>)}</tbody>
        </table>
      )}
    </>
  );
}
