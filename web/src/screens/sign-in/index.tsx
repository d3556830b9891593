/** The page to sign in, where the server has keys or users. */
export default function SignIn() {
  return <main class="page"><h1>Imagemill</h1></main>;
}
