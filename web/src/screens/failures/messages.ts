import { defineMessages } from "~/app/i18n";

export const messages = defineMessages({
  en: {
    groups: "Failed jobs", none: "No failed jobs", noneWhy: "A failed job stands here until it is submitted again or discarded.", filter: "Filter failures", noMatch: "No failure matches this filter", clear: "Show all failures",
    count: { one: "{count} job", other: "{count} jobs" }, atLeast: "at least {count}", model: "with {model}", noModel: "without a checkpoint", first: "first {ago}", last: "last {ago}", lastHour: { one: "{count} in the last hour", other: "{count} in the last hour" }, quiet: "none in the last hour",
    sample: "The last one", show: "Show the jobs", fix: "Fix and replay", discard: "Discard", fixTitle: "Fix and replay: {code}", otherModel: "Another model", otherModelHint: "Empty keeps the model of each job.", label: "Label of the node", labelHint: "Only nodes with this label take the new jobs; empty keeps what each job asks for.",
    width: "Width", height: "Height", sizeHint: "Empty keeps the size of each job.", total: { one: "{count} failed job in all", other: "{count} failed jobs in all" }, fixAll: "Replay all", discardAll: "Discard all", reading: "the failed jobs", tried: { one: "submitted again once before", other: "submitted again {count} times before" },
  },
  pt: {
    groups: "Tarefas que falharam", none: "Nenhuma tarefa falhou", noneWhy: "Uma tarefa que falhou fica aqui até ser enviada de novo ou descartada.", filter: "Filtrar falhas", noMatch: "Nenhuma falha corresponde ao filtro", clear: "Mostrar todas as falhas",
    count: { one: "{count} tarefa", other: "{count} tarefas" }, atLeast: "pelo menos {count}", model: "com {model}", noModel: "sem checkpoint", first: "a primeira {ago}", last: "a última {ago}", lastHour: { one: "{count} na última hora", other: "{count} na última hora" }, quiet: "nenhuma na última hora",
    sample: "A última", show: "Mostrar as tarefas", fix: "Corrigir e reenviar", discard: "Descartar", fixTitle: "Corrigir e reenviar: {code}", otherModel: "Outro modelo", otherModelHint: "Vazio mantém o modelo de cada tarefa.", label: "Rótulo do nó", labelHint: "Só nós com este rótulo pegam as novas tarefas; vazio mantém o que cada uma pede.",
    width: "Largura", height: "Altura", sizeHint: "Vazio mantém o tamanho de cada tarefa.", total: { one: "{count} tarefa falhou ao todo", other: "{count} tarefas falharam ao todo" }, fixAll: "Reenviar todas", discardAll: "Descartar todas", reading: "as tarefas que falharam", tried: { one: "já reenviada uma vez", other: "já reenviada {count} vezes" },
  },
  es: {
    groups: "Trabajos fallidos", none: "Ningún trabajo falló", noneWhy: "Un trabajo fallido queda aquí hasta que se envía de nuevo o se descarta.", filter: "Filtrar fallos", noMatch: "Ningún fallo coincide con el filtro", clear: "Mostrar todos los fallos",
    count: { one: "{count} trabajo", other: "{count} trabajos" }, atLeast: "al menos {count}", model: "con {model}", noModel: "sin checkpoint", first: "el primero {ago}", last: "el último {ago}", lastHour: { one: "{count} en la última hora", other: "{count} en la última hora" }, quiet: "ninguno en la última hora",
    sample: "El último", show: "Mostrar los trabajos", fix: "Corregir y reenviar", discard: "Descartar", fixTitle: "Corregir y reenviar: {code}", otherModel: "Otro modelo", otherModelHint: "Vacío conserva el modelo de cada trabajo.", label: "Etiqueta del nodo", labelHint: "Solo los nodos con esta etiqueta toman los nuevos trabajos; vacío conserva lo que pide cada uno.",
    width: "Anchura", height: "Altura", sizeHint: "Vacío conserva el tamaño de cada trabajo.", total: { one: "{count} trabajo fallido en total", other: "{count} trabajos fallidos en total" }, fixAll: "Reenviar todos", discardAll: "Descartar todos", reading: "los trabajos fallidos", tried: { one: "ya reenviado una vez", other: "ya reenviado {count} veces" },
  },
  uk: {
    groups: "Завдання зі збоєм", none: "Збоїв немає", noneWhy: "Завдання зі збоєм лишається тут, доки його не надішлють знову або не відкинуть.", filter: "Фільтр збоїв", noMatch: "Жоден збій не відповідає фільтру", clear: "Показати всі збої",
    count: { one: "{count} завдання", few: "{count} завдання", many: "{count} завдань", other: "{count} завдання" }, atLeast: "щонайменше {count}", model: "з {model}", noModel: "без чекпойнта", first: "перше {ago}", last: "останнє {ago}", lastHour: { one: "{count} за останню годину", few: "{count} за останню годину", many: "{count} за останню годину", other: "{count} за останню годину" }, quiet: "жодного за останню годину",
    sample: "Останнє", show: "Показати завдання", fix: "Виправити й повторити", discard: "Відкинути", fixTitle: "Виправити й повторити: {code}", otherModel: "Інша модель", otherModelHint: "Порожнє поле лишає модель кожного завдання.", label: "Мітка вузла", labelHint: "Нові завдання беруть лише вузли з цією міткою; порожнє поле лишає вимоги кожного завдання.",
    width: "Ширина", height: "Висота", sizeHint: "Порожнє поле лишає розмір кожного завдання.", total: { one: "Усього {count} завдання зі збоєм", few: "Усього {count} завдання зі збоєм", many: "Усього {count} завдань зі збоєм", other: "Усього {count} завдання зі збоєм" }, fixAll: "Повторити всі", discardAll: "Відкинути всі", reading: "завдання зі збоєм", tried: { one: "уже повторено {count} раз", few: "уже повторено {count} рази", many: "уже повторено {count} разів", other: "уже повторено {count} разу" },
  },
});
