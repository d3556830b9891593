/** What a graph needs of a node, and why it cannot run. */
import { useMessages } from "~/app/i18n";
import { Notice } from "~/parts/page";
import { messages } from "./messages";
import type { Proposal } from "./source";

export function Needs({ proposal }: { proposal: Proposal }) {
  const t = useMessages(messages);
  const { needs, problems, checked } = proposal;
  const missing = needs.filter((need) => need.missing);
  const classes = needs.filter((need) => need.kind === "class").length;
  if (!checked) return <Notice>{t("unchecked")}</Notice>;
  if (!missing.length && !problems.length) {
    return <Notice tone="good">{t("all", { classes: t("classes", { count: classes }), files: t("files", { count: needs.length - classes }) })}</Notice>;
  }
  return (
    <Notice tone="warn">
      <p><strong>{t("cannotRun")}</strong></p>
      <ul>
        {missing.map((need) => <li key={`${need.kind} ${need.name}`}><code>{need.name}</code> ({need.kind}): {t("missing")}</li>)}
        {problems.map((problem) => <li key={problem.message}>{problem.message}</li>)}
      </ul>
    </Notice>
  );
}
