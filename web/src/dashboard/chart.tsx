// One chart of time, drawn by uPlot.
import { useEffect, useRef } from 'preact/hooks';
import { signal } from '@preact/signals';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { whenIdle } from '../frames';
import { language } from '../texts';
import { clock, show, type Unit } from './format';
import { palette } from './palette';

/** The place in the points that the pointer is at, in all charts together; null: at none. */
export const pointed = signal<number | null>(null);

export interface ChartProps {
  label: string;
  unit: Unit;
  colours: readonly number[];
  data: uPlot.AlignedData;
  from: number;
  to: number;
}

const height = 148;

// Axes begin at 0, and do not magnify what is next to nothing.
function top(unit: Unit, highest: number): number {
  const least = { count: 4, rate: 2, seconds: 0.001, share: 1, bytes: 1000 }[unit];
  return unit === 'share' ? 1 : Math.max(least, highest * 1.1);
}

function optionsOf(props: () => ChartProps, width: number): uPlot.Options {
  const { unit, colours } = props();
  const axis: uPlot.Axis = {
    stroke: () => palette.value.text,
    font: '11px system-ui, sans-serif',
    grid: { stroke: () => palette.value.line, width: 1 },
    ticks: { show: false },
    gap: 6,
  };
  const whole = unit === 'count' ? { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] } : {};
  return {
    width: Math.max(1, width),
    height,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, sync: { key: 'dashboard' }, points: { size: 7 } },
    scales: {
      x: { time: true, range: () => [props().from, props().to] },
      y: { range: (_chart, _lowest, highest) => [0, top(unit, highest ?? 0)] },
    },
    axes: [
      {
        ...axis, size: 24, space: 72,
        values: (chart, splits) => splits.map((time) => clockAt(time, chart, props())),
      },
      {
        ...axis, ...whole, space: 34,
        size: (chart, values) => widest(chart, values),
        values: (_chart, splits) => splits.map((value) => show(value, unit, language.value)),
      },
    ],
    series: [
      {},
      ...colours.map((colour, i): uPlot.Series => ({
        stroke: () => palette.value.series[colour - 1] ?? '',
        // Under the first line alone: areas over each other have colours that mean nothing.
        ...(i === 0 ? { fill: () => soft(palette.value.series[colour - 1] ?? '') } : {}),
        width: 1.75,
        points: { show: false },
      })),
    ],
    hooks: { setCursor: [(chart) => { pointed.value = chart.cursor.idx ?? null; }] },
  };
}

// Nothing where it would be cut off by the edge.
function clockAt(time: number, chart: uPlot, { from, to }: ChartProps): string | null {
  const half = 26; // of the text's width
  if (chart.valToPos(time, 'x') > chart.over.clientWidth - half) return null;
  return clock(time, language.value, to - from <= 300);
}

function soft(colour: string): string {
  return colour.replace(/^rgb\((.*)\)$/, 'rgba($1, 0.12)');
}

function widest(chart: uPlot, values: string[] | null): number {
  chart.ctx.save();
  chart.ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  const width = Math.max(0, ...(values ?? []).map((text) => chart.ctx.measureText(text).width));
  chart.ctx.restore();
  return Math.ceil(width / devicePixelRatio) + 12;
}

/** Draws it again as the page changes, until the function it returns is called. */
function keepUp(chart: uPlot, box: HTMLElement): () => void {
  const resized = new ResizeObserver(([entry]) => chart.setSize({ width: entry!.contentRect.width, height }));
  resized.observe(box);
  const ends = [palette, language].map((each) => each.subscribe(() => chart.redraw(false, true)));
  return () => {
    ends.forEach((end) => end());
    resized.disconnect();
    chart.destroy();
  };
}

export function Chart(props: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const current = useRef(props);
  current.current = props;

  useEffect(() => {
    let end: (() => void) | null = () => {};
    // One after the other: all at once would hold up the page.
    whenIdle(() => {
      if (!end) return;
      const options = optionsOf(() => current.current, box.current!.clientWidth);
      const drawn = (chart.current = new uPlot(options, current.current.data, box.current!));
      end = keepUp(drawn, box.current!);
    });
    return () => {
      end?.();
      end = null;
    };
  }, []);
  useEffect(() => chart.current?.setData(props.data), [props.data]);

  return <div class="chart" role="img" aria-label={props.label} ref={box} />;
}
