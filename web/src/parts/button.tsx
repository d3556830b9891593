/** Buttons and links that look like buttons. */
import type { ComponentChildren, JSX } from "preact";
import { forwardRef } from "preact/compat";
import { Link } from "wouter-preact";
import { Icon, type IconName } from "./icon";

type Kind = "primary" | "plain" | "quiet" | "danger";
type Native = Omit<JSX.ButtonHTMLAttributes<HTMLButtonElement>, "icon" | "class">;

interface ButtonProps extends Native {
  kind?: Kind;
  icon?: IconName;
  /** Says why it cannot be pressed now; it is then disabled and shows the reason as its title. */
  blocked?: string;
  isBusy?: boolean;
  children?: ComponentChildren;
}

export const Button = forwardRef<HTMLButtonElement, ButtonProps>(function Button(
  { kind = "plain", icon, blocked, isBusy, children, title, disabled, ...rest },
  ref,
) {
  return (
    <button type="button" ref={ref} class={`button button-${kind}`} title={blocked ?? title} disabled={Boolean(blocked) || isBusy || disabled} aria-busy={isBusy} {...rest}>
      {icon && <Icon name={icon} />}
      {children !== undefined && <span>{children}</span>}
    </button>
  );
});

interface IconButtonProps extends Native {
  icon: IconName;
  label: string;
  isPressed?: boolean;
}

/** A button that shows an icon only; the label is read aloud and shown as a tip. */
export const IconButton = forwardRef<HTMLButtonElement, IconButtonProps>(function IconButton({ icon, label, isPressed, ...rest }, ref) {
  return (
    <button type="button" ref={ref} class="icon-button" aria-label={label} title={label} aria-pressed={isPressed} {...rest}>
      <Icon name={icon} />
    </button>
  );
});

export function ButtonLink({ href, kind = "plain", icon, children, isDownload }: { href: string; kind?: Kind; icon?: IconName; children: ComponentChildren; isDownload?: boolean }) {
  const inner = (
    <>
      {icon && <Icon name={icon} />}
      <span>{children}</span>
    </>
  );
  if (isDownload) return <a class={`button button-${kind}`} href={href} download>{inner}</a>;
  return <Link class={`button button-${kind}`} href={href}>{inner}</Link>;
}
