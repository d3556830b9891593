import { defineMessages } from "~/app/i18n";

export const messages = defineMessages({
  en: {
    title: "Sign in", with: "Sign in with", key: "API key", password: "Password", email: "E-mail address", readOnly: "Only look, change nothing", language: "Language",
    noKey: "No key yet? On the server's machine:", byLink: "Or a link that signs you in once:",
  },
  pt: {
    title: "Entrar", with: "Entrar com", key: "Chave de API", password: "Senha", email: "Endereço de e-mail", readOnly: "Só olhar, sem mudar nada", language: "Idioma",
    noKey: "Ainda sem chave? Na máquina do servidor:", byLink: "Ou um link que permite entrar uma vez:",
  },
  es: {
    title: "Entrar", with: "Entrar con", key: "Clave de API", password: "Contraseña", email: "Correo electrónico", readOnly: "Solo mirar, sin cambiar nada", language: "Idioma",
    noKey: "¿Aún sin clave? En la máquina del servidor:", byLink: "O un enlace que permite entrar una vez:",
  },
  uk: {
    title: "Увійти", with: "Увійти за допомогою", key: "Ключ API", password: "Пароль", email: "Адреса електронної пошти", readOnly: "Лише дивитися, нічого не змінювати", language: "Мова",
    noKey: "Ще немає ключа? На машині сервера:", byLink: "Або посилання для одноразового входу:",
  },
});
