/** A field for filters in words, with suggestions. It applies them on Enter, and a moment after the last key. */
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { defineMessages, useMessages } from "~/app/i18n";
import { IconButton } from "./button";
import { type Word, suggest } from "./filter-words";
import { Icon } from "./icon";
import "./filter-bar.css";

const messages = defineMessages({
  en: { clear: "Clear the filter", hint: "Words such as status:failed, or text of the prompt" },
  pt: { clear: "Limpar o filtro", hint: "Palavras como status:failed, ou texto do prompt" },
  es: { clear: "Borrar el filtro", hint: "Palabras como status:failed, o texto del prompt" },
  uk: { clear: "Очистити фільтр", hint: "Слова на зразок status:failed або текст запиту" },
});

const APPLY_MS = 350;

interface FilterBarProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
  /** The words that this screen knows, with their known values. */
  known: Partial<Record<Word, readonly string[]>>;
}

export function FilterBar({ label, value, onChange, known }: FilterBarProps) {
  const t = useMessages(messages);
  const id = useId();
  const [text, setText] = useState(value);
  const [active, setActive] = useState(-1);
  const [isOpen, setOpen] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const sent = useRef(value);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (value === sent.current) return;
    sent.current = value;
    setText(value);
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const apply = (next: string) => {
    clearTimeout(timer.current);
    sent.current = next.trim();
    onChange(next.trim());
  };
  const change = (next: string) => {
    setText(next);
    setActive(-1);
    setOpen(true);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => apply(next), APPLY_MS);
  };
  const offers = isOpen ? suggest(text, known) : [];
  const choose = (next: string) => {
    change(next);
    input.current?.focus();
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (!offers.length) {
        setOpen(true);
        return;
      }
      event.preventDefault();
      setActive((active + (event.key === "ArrowDown" ? 1 : -1) + offers.length) % offers.length);
    } else if ((event.key === "Enter" || event.key === "Tab") && offers[active]) {
      event.preventDefault();
      choose(offers[active].text);
    } else if (event.key === "Enter") {
      setOpen(false);
      apply(text);
    } else if (event.key === "Escape" && isOpen && offers.length) {
      event.stopPropagation();
      setOpen(false);
    }
  };
  return (
    <div class="filter-bar" role="search">
      <Icon name="filter" />
      <input ref={input} type="text" class="filter-input" role="combobox" aria-label={label} placeholder={t("hint")} value={text} autocomplete="off" spellcheck={false}
        aria-expanded={offers.length > 0} aria-controls={`${id}-list`} aria-autocomplete="list" aria-activedescendant={active >= 0 ? `${id}-${active}` : undefined}
        onInput={(event) => change(event.currentTarget.value)} onKeyDown={onKey} onFocus={() => setOpen(true)} onBlur={() => setOpen(false)} />
      {text && <IconButton icon="close" label={t("clear")} onClick={() => { setText(""); apply(""); input.current?.focus(); }} />}
      <ul class="filter-offers" id={`${id}-list`} role="listbox" aria-label={label} hidden={!offers.length}>
        {offers.map((offer, index) => (
          <li key={offer.label} id={`${id}-${index}`} role="option" aria-selected={index === active}
            onPointerDown={(event) => { event.preventDefault(); choose(offer.text); }}>{offer.label}</li>
        ))}
      </ul>
    </div>
  );
}
