import { defineMessages } from "./i18n";

export const messages = defineMessages({
  en: {
    make: "Make", gallery: "Gallery", queue: "Queue", job: "Job", failures: "Failures", workflows: "Workflows", models: "Models",
    characters: "Characters", library: "Model library", books: "Books", nodes: "Nodes", watch: "Watch", faults: "Faults",
    people: "People and money", webhooks: "Webhooks", start: "First steps", more: "More", menu: "Menu", skip: "Skip to the content",
    search: "Search or jump to", palette: "Command palette", paletteHint: "Type a screen, a job's id or an action", nothingFound: "Nothing found",
    live: "Live", connecting: "Connecting", lost: "The connection is lost; it is tried again", closed: "No live news",
    theme: "Theme", system: "As the system", light: "Light", dark: "Dark", language: "Language", signOut: "Sign out", account: "Account",
    allOwners: "All owners", shownOwner: "Shown owner", mine: "Mine", undo: "Undo", close: "Close", failed: "This screen failed", reload: "Reload",
    unknownPage: "There is no such page", home: "To the start",
    readOnly: "Read-only", readOnlyHint: "This session changes nothing; sign in again to change something", sessions: "Where I am signed in",
  },
  pt: {
    make: "Criar", gallery: "Galeria", queue: "Fila", job: "Tarefa", failures: "Falhas", workflows: "Fluxos", models: "Modelos",
    characters: "Personagens", library: "Biblioteca de modelos", books: "Livros", nodes: "Nós", watch: "Vigiar", faults: "Falhas simuladas",
    people: "Pessoas e créditos", webhooks: "Webhooks", start: "Primeiros passos", more: "Mais", menu: "Menu", skip: "Ir para o conteúdo",
    search: "Buscar ou ir para", palette: "Paleta de comandos", paletteHint: "Digite uma tela, o id de uma tarefa ou uma ação", nothingFound: "Nada encontrado",
    live: "Ao vivo", connecting: "Conectando", lost: "A conexão caiu; tentando de novo", closed: "Sem novidades ao vivo",
    theme: "Tema", system: "Como o sistema", light: "Claro", dark: "Escuro", language: "Idioma", signOut: "Sair", account: "Conta",
    allOwners: "Todos os donos", shownOwner: "Dono exibido", mine: "Meus", undo: "Desfazer", close: "Fechar", failed: "Esta tela falhou", reload: "Recarregar",
    unknownPage: "Esta página não existe", home: "Para o início",
    readOnly: "Só leitura", readOnlyHint: "Esta sessão não altera nada; entre de novo para alterar", sessions: "Onde estou conectado",
  },
  es: {
    make: "Crear", gallery: "Galería", queue: "Cola", job: "Trabajo", failures: "Fallos", workflows: "Flujos", models: "Modelos",
    characters: "Personajes", library: "Biblioteca de modelos", books: "Libros", nodes: "Nodos", watch: "Vigilar", faults: "Fallos simulados",
    people: "Personas y créditos", webhooks: "Webhooks", start: "Primeros pasos", more: "Más", menu: "Menú", skip: "Ir al contenido",
    search: "Buscar o ir a", palette: "Paleta de comandos", paletteHint: "Escribe una pantalla, el id de un trabajo o una acción", nothingFound: "No se encontró nada",
    live: "En vivo", connecting: "Conectando", lost: "Se perdió la conexión; se intenta de nuevo", closed: "Sin novedades en vivo",
    theme: "Tema", system: "Como el sistema", light: "Claro", dark: "Oscuro", language: "Idioma", signOut: "Salir", account: "Cuenta",
    allOwners: "Todos los dueños", shownOwner: "Dueño mostrado", mine: "Míos", undo: "Deshacer", close: "Cerrar", failed: "Esta pantalla falló", reload: "Recargar",
    unknownPage: "Esta página no existe", home: "Al inicio",
    readOnly: "Solo lectura", readOnlyHint: "Esta sesión no cambia nada; entra de nuevo para cambiar algo", sessions: "Dónde he entrado",
  },
  uk: {
    make: "Створити", gallery: "Галерея", queue: "Черга", job: "Завдання", failures: "Збої", workflows: "Робочі процеси", models: "Моделі",
    characters: "Персонажі", library: "Бібліотека моделей", books: "Книги", nodes: "Вузли", watch: "Нагляд", faults: "Штучні збої",
    people: "Люди й кредити", webhooks: "Вебхуки", start: "Перші кроки", more: "Більше", menu: "Меню", skip: "До вмісту",
    search: "Шукати або перейти", palette: "Палітра команд", paletteHint: "Введіть екран, id завдання або дію", nothingFound: "Нічого не знайдено",
    live: "Наживо", connecting: "З'єднання", lost: "Зв'язок втрачено; пробуємо ще раз", closed: "Без новин наживо",
    theme: "Тема", system: "Як у системі", light: "Світла", dark: "Темна", language: "Мова", signOut: "Вийти", account: "Обліковий запис",
    allOwners: "Усі власники", shownOwner: "Показаний власник", mine: "Мої", undo: "Скасувати", close: "Закрити", failed: "Цей екран не відкрився", reload: "Перезавантажити",
    unknownPage: "Такої сторінки немає", home: "На початок",
    readOnly: "Лише перегляд", readOnlyHint: "Цей сеанс нічого не змінює; увійдіть знову, щоб змінити", sessions: "Де я увійшов",
  },
});

export type NavigationKey = keyof (typeof messages)["en"] & string;
