/** The price of what a button orders, as the server says it. */
import type { Schema } from "~/api/http";
import { defineMessages, number, useMessages } from "~/app/i18n";

const messages = defineMessages({
  en: {
    credits: { one: "{amount} credit", other: "{amount} credits" }, free: "free on this server", left: "{amount} credits available",
    short: "Your {amount} credits do not suffice", provider: "{name} bills about {dollars}", unknown: "{name} bills an unknown amount",
  },
  pt: {
    credits: { one: "{amount} crédito", other: "{amount} créditos" }, free: "grátis neste servidor", left: "{amount} créditos disponíveis",
    short: "Seus {amount} créditos não bastam", provider: "{name} cobra cerca de {dollars}", unknown: "{name} cobra um valor desconhecido",
  },
  es: {
    credits: { one: "{amount} crédito", other: "{amount} créditos" }, free: "gratis en este servidor", left: "{amount} créditos disponibles",
    short: "Tus {amount} créditos no bastan", provider: "{name} cobra unos {dollars}", unknown: "{name} cobra un importe desconocido",
  },
  uk: {
    credits: { one: "{amount} кредит", few: "{amount} кредити", many: "{amount} кредитів", other: "{amount} кредиту" }, free: "безкоштовно на цьому сервері", left: "доступно кредитів: {amount}",
    short: "Ваших кредитів ({amount}) не вистачає", provider: "{name} бере приблизно {dollars}", unknown: "{name} бере невідому суму",
  },
});

/** The server leaves out what it has nothing to say about. */
type Priced = Pick<Schema<"Estimate">, "cost" | "charged" | "available" | "affordable"> & Partial<Pick<Schema<"Estimate">, "providerDollars">>;

export function Price({ price }: { price: Priced | undefined }) {
  const t = useMessages(messages);
  if (!price) return null;
  const amount = number(price.cost, { maximumFractionDigits: 2 });
  const available = number(price.available ?? 0, { maximumFractionDigits: 2 });
  const bills = Object.entries(price.providerDollars ?? {}).map(([name, dollars]) =>
    dollars === null ? t("unknown", { name }) : t("provider", { name, dollars: number(dollars, { style: "currency", currency: "USD" }) }));
  const balance = price.affordable === false ? t("short", { amount: available }) : price.charged ? t("left", { amount: available }) : t("free");
  return (
    <p class="small" role="status">
      <strong>{t("credits", { count: price.cost, amount })}</strong>
      <span class="soft">{[balance, ...bills].map((text) => ` · ${text}`).join("")}</span>
    </p>
  );
}
