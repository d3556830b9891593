import { defineMessages } from "~/app/i18n";

export const messages = defineMessages({
  en: { none: "This needs no input.", required: "{label} (required)", standard: "standard: {value}", choose: "choose", notJson: "This is not valid JSON; write a list as [1, 2] or an object as {\"a\": 1}." },
  pt: { none: "Isto não precisa de entradas.", required: "{label} (obrigatório)", standard: "padrão: {value}", choose: "escolher", notJson: "Isto não é JSON válido; escreva uma lista como [1, 2] ou um objeto como {\"a\": 1}." },
  es: { none: "Esto no necesita entradas.", required: "{label} (obligatorio)", standard: "predeterminado: {value}", choose: "elegir", notJson: "Esto no es JSON válido; escribe una lista como [1, 2] o un objeto como {\"a\": 1}." },
  uk: { none: "Тут нічого вводити.", required: "{label} (обов'язково)", standard: "типово: {value}", choose: "обрати", notJson: "Це не чинний JSON; напишіть список як [1, 2] або об'єкт як {\"a\": 1}." },
});
