import { defineMessages } from "~/app/i18n";

export const startMessages = defineMessages({
  en: {
    photoTitle: { one: "One photo of your child", other: "A photo of each child" }, choosePhoto: "Choose a photo, or take one", otherPhoto: "Choose another photo", chosen: "The chosen photo",
    photoHero: "Photo of the hero", photoSibling: "Photo of the brother or sister ({id})", photoOther: "Photo of {id}",
    hintFace: "The face looks at the camera and is not covered", hintLight: "Daylight, and not blurred", hintAlone: "Nobody else is as large in the picture",
    who: "Your name", whoHint: "It stands beside your consent, and is shown to nobody else.", whoMissing: "Please write your name.",
    consent: "I am a parent or guardian, or have the parents' permission, and agree that this photo is used to make the book.", consentMissing: "Without your consent we may not use the photo.",
    promise: "The photo stays on this server. It is deleted once you approve the book, after 30 days at the latest, and at any time when you wish.",
    begin: "Begin the book", sending: "The photo is being sent", photoMissing: "Please choose a photo.", unreadable: "This is no photo that can be read. Please choose a JPEG, PNG or WebP.",
  },
  pt: {
    photoTitle: { one: "Uma foto da sua criança", other: "Uma foto de cada criança" }, choosePhoto: "Escolha uma foto, ou tire uma", otherPhoto: "Escolher outra foto", chosen: "A foto escolhida",
    photoHero: "Foto do herói", photoSibling: "Foto do irmão ou da irmã ({id})", photoOther: "Foto de {id}",
    hintFace: "O rosto olha para a câmera e não está coberto", hintLight: "Luz do dia, e sem tremer", hintAlone: "Ninguém mais aparece tão grande na imagem",
    who: "Seu nome", whoHint: "Fica junto do seu consentimento e não é mostrado a mais ninguém.", whoMissing: "Escreva o seu nome.",
    consent: "Sou mãe, pai ou responsável, ou tenho a permissão deles, e concordo que esta foto seja usada para fazer o livro.", consentMissing: "Sem o seu consentimento não podemos usar a foto.",
    promise: "A foto fica neste servidor. Ela é apagada quando você aprovar o livro, no máximo após 30 dias, e a qualquer momento se você quiser.",
    begin: "Começar o livro", sending: "Enviando a foto", photoMissing: "Escolha uma foto.", unreadable: "Não conseguimos ler esta foto. Escolha um JPEG, PNG ou WebP.",
  },
  es: {
    photoTitle: { one: "Una foto de tu peque", other: "Una foto de cada peque" }, choosePhoto: "Elige una foto, o haz una", otherPhoto: "Elegir otra foto", chosen: "La foto elegida",
    photoHero: "Foto del personaje principal", photoSibling: "Foto del hermano o la hermana ({id})", photoOther: "Foto de {id}",
    hintFace: "La cara mira a la cámara y no está tapada", hintLight: "Luz de día, y sin movimiento", hintAlone: "Nadie más sale tan grande en la imagen",
    who: "Tu nombre", whoHint: "Queda junto a tu consentimiento y no se muestra a nadie más.", whoMissing: "Escribe tu nombre.",
    consent: "Soy madre, padre o tutor, o tengo su permiso, y acepto que esta foto se use para hacer el libro.", consentMissing: "Sin tu consentimiento no podemos usar la foto.",
    promise: "La foto se queda en este servidor. Se borra cuando apruebes el libro, como muy tarde a los 30 días, y en cualquier momento si lo deseas.",
    begin: "Empezar el libro", sending: "Enviando la foto", photoMissing: "Elige una foto.", unreadable: "No podemos leer esta foto. Elige un JPEG, PNG o WebP.",
  },
  uk: {
    photoTitle: { one: "Одне фото вашої дитини", other: "Фото кожної дитини" }, choosePhoto: "Оберіть фото або зробіть нове", otherPhoto: "Обрати інше фото", chosen: "Обране фото",
    photoHero: "Фото головного героя", photoSibling: "Фото брата чи сестри ({id})", photoOther: "Фото: {id}",
    hintFace: "Обличчя дивиться в камеру і нічим не закрите", hintLight: "Денне світло, і фото не розмите", hintAlone: "Ніхто інший на фото не такий великий",
    who: "Ваше ім'я", whoHint: "Воно стоїть біля вашої згоди, і його ніхто більше не бачить.", whoMissing: "Напишіть своє ім'я.",
    consent: "Я мати, батько чи опікун, або маю їхній дозвіл, і погоджуюся, щоб це фото використали для книжки.", consentMissing: "Без вашої згоди ми не можемо використати фото.",
    promise: "Фото лишається на цьому сервері. Його видаляють, щойно ви схвалите книжку, найпізніше за 30 днів, і будь-коли на ваше бажання.",
    begin: "Почати книжку", sending: "Фото надсилається", photoMissing: "Оберіть фото.", unreadable: "Це фото не вдається прочитати. Оберіть JPEG, PNG або WebP.",
  },
});
