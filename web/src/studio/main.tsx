/** The book studio for parents: a page of its own, with a design of its own. */
import { render } from "preact";
import "../style/tokens.css";

function Studio() {
  return <main><h1>Books</h1></main>;
}

const root = document.getElementById("app");
if (root) render(<Studio />, root);
