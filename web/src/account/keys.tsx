export function Keys() {
  return <p />;
}
