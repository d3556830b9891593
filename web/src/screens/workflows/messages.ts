import { defineMessages } from "~/app/i18n";

export const messages = defineMessages({
  en: {
    workflows: "the workflows", none: "No workflows yet", noneText: "Drop a picture or a graph from ComfyUI: its inputs become those of an endpoint.", add: "Add a workflow", addTitle: "From a graph to an endpoint", back: "All workflows",
    find: "Find a workflow", noMatch: "No workflow has “{text}” in its name or title", builtIn: "built in", everybody: "for everybody", mine: "mine", version: "version {version}", inputs: { one: "{count} input", other: "{count} inputs" }, inputsTitle: "Inputs",
    overview: "Overview", edit: "Change", versions: "Versions", manifest: "Manifest", name: "Name", type: "Type", value: "Default", limits: "Limits", help: "Help", required: "required",
    call: "Call it", run: "Run it in Make", remove: "Delete", removed: "{name} deleted", compare: "Compare {from} with {to}", noDifference: "The versions are equal.", added: "added", gone: "removed", changed: "changed", before: "Before", after: "After", from: "From", to: "To",
    builtInText: "A built-in workflow cannot be changed. Add a copy under another name.", since: "since {when}", deletedAt: "deleted {when}", oneVersion: "There is one version. A change makes another one; jobs keep the version they were made with.", part_text: "Text", part_input: "Input", part_node: "Node",
  },
  pt: {
    workflows: "os workflows", none: "Ainda não há workflows", noneText: "Solte uma imagem ou um grafo do ComfyUI: as entradas dele viram as de um endpoint.", add: "Adicionar workflow", addTitle: "De um grafo a um endpoint", back: "Todos os workflows",
    find: "Procurar workflow", noMatch: "Nenhum workflow tem “{text}” no nome ou no título", builtIn: "incluído", everybody: "para todos", mine: "meu", version: "versão {version}", inputs: { one: "{count} entrada", other: "{count} entradas" }, inputsTitle: "Entradas",
    overview: "Visão geral", edit: "Alterar", versions: "Versões", manifest: "Manifesto", name: "Nome", type: "Tipo", value: "Padrão", limits: "Limites", help: "Ajuda", required: "obrigatória",
    call: "Chame-o", run: "Usar em Criar", remove: "Excluir", removed: "{name} excluído", compare: "Comparar {from} com {to}", noDifference: "As versões são iguais.", added: "adicionado", gone: "removido", changed: "alterado", before: "Antes", after: "Depois", from: "De", to: "Para",
    builtInText: "Um workflow incluído não pode ser alterado. Adicione uma cópia com outro nome.", since: "desde {when}", deletedAt: "excluído {when}", oneVersion: "Há uma só versão. Uma alteração cria outra; as tarefas mantêm a versão com que foram feitas.", part_text: "Texto", part_input: "Entrada", part_node: "Nó",
  },
  es: {
    workflows: "los workflows", none: "Todavía no hay workflows", noneText: "Suelta una imagen o un grafo de ComfyUI: sus entradas pasan a ser las de un endpoint.", add: "Añadir workflow", addTitle: "De un grafo a un endpoint", back: "Todos los workflows",
    find: "Buscar workflow", noMatch: "Ningún workflow tiene “{text}” en su nombre o título", builtIn: "incluido", everybody: "para todos", mine: "mío", version: "versión {version}", inputs: { one: "{count} entrada", other: "{count} entradas" }, inputsTitle: "Entradas",
    overview: "Resumen", edit: "Cambiar", versions: "Versiones", manifest: "Manifiesto", name: "Nombre", type: "Tipo", value: "Valor inicial", limits: "Límites", help: "Ayuda", required: "obligatoria",
    call: "Llámalo", run: "Usarlo en Crear", remove: "Eliminar", removed: "{name} eliminado", compare: "Comparar {from} con {to}", noDifference: "Las versiones son iguales.", added: "añadido", gone: "quitado", changed: "cambiado", before: "Antes", after: "Después", from: "De", to: "A",
    builtInText: "Un workflow incluido no se puede cambiar. Añade una copia con otro nombre.", since: "desde {when}", deletedAt: "eliminado {when}", oneVersion: "Hay una sola versión. Un cambio crea otra; los trabajos conservan la versión con la que se hicieron.", part_text: "Texto", part_input: "Entrada", part_node: "Nodo",
  },
  uk: {
    workflows: "workflow", none: "Workflow ще немає", noneText: "Перетягніть зображення або граф із ComfyUI: його входи стануть входами ендпойнта.", add: "Додати workflow", addTitle: "Від графа до ендпойнта", back: "Усі workflow",
    find: "Знайти workflow", noMatch: "Жоден workflow не має «{text}» у назві чи заголовку", builtIn: "вбудований", everybody: "для всіх", mine: "мій", version: "версія {version}", inputs: { one: "{count} вхід", few: "{count} входи", many: "{count} входів", other: "{count} входу" }, inputsTitle: "Входи",
    overview: "Огляд", edit: "Змінити", versions: "Версії", manifest: "Маніфест", name: "Назва", type: "Тип", value: "Типове значення", limits: "Межі", help: "Підказка", required: "обов'язковий",
    call: "Виклик", run: "Запустити у «Створити»", remove: "Видалити", removed: "{name} видалено", compare: "Порівняти {from} з {to}", noDifference: "Версії однакові.", added: "додано", gone: "вилучено", changed: "змінено", before: "До", after: "Після", from: "Від", to: "До",
    builtInText: "Вбудований workflow не можна змінити. Додайте копію під іншою назвою.", since: "з {when}", deletedAt: "видалено {when}", oneVersion: "Є одна версія. Зміна створює наступну; завдання зберігають версію, з якою їх створено.", part_text: "Текст", part_input: "Вхід", part_node: "Вузол",
  },
});
