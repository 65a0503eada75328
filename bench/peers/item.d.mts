export interface Output {
  score: number;
  turns: number;
  winner: string;
}
export function outputOf(index: number, iterations: number): Output;
