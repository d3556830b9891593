/** Rules in words. */
import type { Schema } from "~/api/http";
import { duration, number, useMessages } from "~/app/i18n";
import { messages } from "./messages";

type ApiRule = Schema<"ActiveFault">["rule"];
type WorkerRule = Schema<"ActiveWorkerFault">["rule"];

/** Return the functions that describe a rule in the reader's language. */
export function useRuleText() {
  const t = useMessages(messages);
  const share = (probability = 1) => (probability >= 1 ? t("always") : t("share", { percent: number(probability, { style: "percent", maximumFractionDigits: 1 }) }));
  return {
    ofWorker({ probability, times = 1, model, prompt, node, loadMs }: WorkerRule): string {
      const parts = [share(probability), t("attempts", { count: times })];
      if (model) parts.push(t("ofModel", { text: model }));
      if (prompt) parts.push(t("ofPrompt", { text: prompt }));
      if (node) parts.push(t("onNode", { text: node }));
      if (loadMs) parts.push(duration(loadMs / 1000));
      return parts.join(", ");
    },
    ofApi(rule: ApiRule): string {
      const parts: string[] = [];
      if (rule.http) parts.push(`HTTP ${rule.http}${rule.retryAfter ? `, Retry-After ${rule.retryAfter}` : ""}`);
      if (rule.drop) parts.push(t(rule.drop === "before" ? "kindDropBefore" : "kindDropAfter"));
      if (rule.cut) parts.push(t("kindCut"));
      if (rule.expiredBlob) parts.push(t("kindExpired"));
      if (rule.slowMs) parts.push(`${t("kindSlow")}: ${duration(rule.slowMs / 1000)}`);
      return parts.join(", ");
    },
    condition(rule: ApiRule): string {
      return [rule.method ?? "", rule.path ?? "*", share(rule.probability)].filter(Boolean).join(" · ");
    },
  };
}
