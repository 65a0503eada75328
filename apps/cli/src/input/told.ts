import { ApiError, type ProblemError } from '@bullpen/api';

/** How lines that were sent stand to what the user gave: cut out of it, or made of the elements of an array. */
export interface Origin {
  linesBefore: number;
  isArray: boolean;
}

/** The service's refusal, in lines of the file that the user gave, or in elements of the array, from 0 as results are. */
export function toldOf(error: unknown, origin: Origin): unknown {
  if (!(error instanceof ApiError)) return error;
  const { problem } = error;
  const detail = problem.detail.replace(/^Line (\d+)/, (_, line: string) => {
    const number = Number(line) + origin.linesBefore;
    return origin.isArray ? `Element ${number - 1}` : `Line ${number}`;
  });
  return new ApiError({ ...problem, detail, errors: problem.errors?.map((fault) => faultOf(fault, origin)) });
}

function faultOf({ line, pointer, message }: ProblemError, { linesBefore, isArray }: Origin): ProblemError {
  if (line === undefined) return { pointer, message };
  const number = line + linesBefore;
  return isArray ? { pointer: `/${number - 1}${pointer ?? ''}`, message } : { line: number, pointer, message };
}
