import { defineMessages } from "~/app/i18n";

export const messages = defineMessages({
  en: { jobs: "Jobs", none: "Nothing is in the queue", makeOne: "Make a picture", jobsShown: { one: "{count} job", other: "{count} jobs" }, cancel: "Cancel", canceled: "Job canceled" },
  pt: { jobs: "Tarefas", none: "A fila está vazia", makeOne: "Criar uma imagem", jobsShown: { one: "{count} tarefa", other: "{count} tarefas" }, cancel: "Cancelar", canceled: "Tarefa cancelada" },
  es: { jobs: "Trabajos", none: "La cola está vacía", makeOne: "Crear una imagen", jobsShown: { one: "{count} trabajo", other: "{count} trabajos" }, cancel: "Cancelar", canceled: "Trabajo cancelado" },
  uk: { jobs: "Завдання", none: "Черга порожня", makeOne: "Створити зображення", jobsShown: { one: "{count} завдання", few: "{count} завдання", many: "{count} завдань", other: "{count} завдання" }, cancel: "Скасувати", canceled: "Завдання скасовано" },
});
