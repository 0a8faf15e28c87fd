export function Dashboard() {
  return <p />;
}
