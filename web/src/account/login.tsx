export function Login(_props: { onDone: () => void }) {
  return <p />;
}
