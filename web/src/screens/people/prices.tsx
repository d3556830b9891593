/** What jobs cost, and a calculator. */
import { useQuery } from "@tanstack/react-query";
import { api, data } from "~/api/http";
import { number, useMessages } from "~/app/i18n";
import { useDraft } from "~/app/state";
import { CopyAs } from "~/parts/copy-as";
import { NumberInput, Select } from "~/parts/field";
import { Notice, ProblemNotice, Waiting } from "~/parts/page";
import { Table } from "~/parts/table";
import { messages } from "./messages";

const START = { recipe: "textToImage", backend: "", width: 1024, height: 1024, steps: 25, quantity: 1 };

export function Prices() {
  const t = useMessages(messages);
  const [draft, setDraft] = useDraft("people.prices", START);
  const query = { ...draft, backend: draft.backend || undefined };
  const list = useQuery({ queryKey: ["people", "prices"], queryFn: ({ signal }) => data(api.GET("/api/v1/prices", { signal })) });
  const found = useQuery({ queryKey: ["people", "prices", draft], queryFn: ({ signal }) => data(api.GET("/api/v1/prices", { params: { query }, signal })), placeholderData: (before) => before });
  if (list.error) return <ProblemNotice error={list.error} onRetry={() => void list.refetch()} />;
  if (!list.data) return <Waiting what={t("prices")} />;
  const { recipes, backends, charged } = list.data;
  const amount = (value: number) => (value ? number(value, { maximumFractionDigits: 4 }) : "–");
  const whole = (name: "width" | "height" | "steps" | "quantity", min: number, max: number) => (
    <NumberInput label={t(name)} min={min} max={max} step={1} value={draft[name]} onInput={(value) => value !== null && value >= min && setDraft({ ...draft, [name]: Math.round(value) })} />
  );
  return (
    <>
      {!charged && <Notice><p>{t("free")}</p></Notice>}
      <section class="card people-form" aria-label={t("calculator")}>
        <h2>{t("calculator")}</h2>
        <div class="people-grid">
          <Select label={t("recipe")} value={draft.recipe} onChange={(recipe) => setDraft({ ...draft, recipe })} options={Object.keys(recipes).sort().map((name) => ({ value: name, label: name }))} />
          <Select label={t("backend")} value={draft.backend} onChange={(backend) => setDraft({ ...draft, backend })} options={[{ value: "", label: t("anyBackend") }, ...Object.keys(backends).map((name) => ({ value: name, label: name }))]} />
          {whole("width", 1, 65_536)}
          {whole("height", 1, 65_536)}
          {whole("steps", 0, 10_000)}
          {whole("quantity", 1, 10_000)}
        </div>
        {found.error && <ProblemNotice error={found.error} />}
        <p class="people-estimate" role="status">{typeof found.data?.estimate === "number" && t("estimate", { amount: number(found.data.estimate, { maximumFractionDigits: 3 }) })}</p>
        <CopyAs call={{ method: "GET", path: `/api/v1/prices?${new URLSearchParams(Object.entries(query).filter(([, value]) => value !== undefined).map(([name, value]) => [name, String(value)]))}`, cli: "imagemill price" }} />
      </section>
      <Table label={t("prices")} head={[t("recipe"), t("base"), t("megapixel"), t("step"), t("megapixelStep"), t("minimum")]}>
        {Object.entries(recipes).sort(([a], [b]) => a.localeCompare(b)).map(([name, price]) => (
          <tr key={name}>
            <td>{name}</td>
            {[price.base, price.megapixel, price.step, price.megapixelStep, price.minimum].map((value, index) => <td key={index} class="people-number">{amount(value)}</td>)}
          </tr>
        ))}
      </Table>
    </>
  );
}
