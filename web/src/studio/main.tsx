/** The book studio for parents: a page of its own, with a design of its own. */
import { render } from "preact";
import { Studio } from "./studio";
import "../style/tokens.css";
import "../style/base.css";
import "../style/parts.css";
import "./studio.css";
import "./flip.css";

const root = document.getElementById("app");
if (root) render(<Studio />, root);
