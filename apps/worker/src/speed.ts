/** Items and chunks a second, between the last two times that it was measured. */
export function createSpeed(totals: { items: number; chunks: number }) {
  let last = { at: performance.now(), items: 0, chunks: 0 };
  let rates = { itemsPerSecond: 0, chunksPerSecond: 0 };
  return {
    rates: () => rates,
    measure(): { itemsPerSecond: number; chunksPerSecond: number } {
      const now = performance.now();
      const seconds = (now - last.at) / 1000;
      if (seconds > 0.2) {
        rates = {
          itemsPerSecond: Math.round((totals.items - last.items) / seconds),
          chunksPerSecond: Math.round(((totals.chunks - last.chunks) / seconds) * 10) / 10,
        };
        last = { at: now, items: totals.items, chunks: totals.chunks };
      }
      return rates;
    },
  };
}
