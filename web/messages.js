// Calls from one thread to another: {number, call, value} there, {number, result} or {number, error} back.
// Besides, a worker tells how far it is: {stage, share}.

/** Returns call(name, value, given away), a promise of the answer; `hear(stage, share)` is told the rest. */
export function callsTo(end, hear) {
  const waiting = [];
  end.onmessage = ({ data: { number, result, error, stage, share } }) => {
    if (stage) hear(stage, share);
    else if (error) waiting[number].reject(new Error(error));
    else waiting[number].resolve(result);
  };
  end.onerror = (event) => {
    event.preventDefault(); // it is told to whoever has called
    const error = new Error(event.message || "a part of this page could not be loaded");
    waiting.forEach(({ reject }) => reject(error));
  };
  return (call, value, given = []) =>
    new Promise((resolve, reject) => {
      end.postMessage({ number: waiting.push({ resolve, reject }) - 1, call, value }, given);
    });
}

let queue = Promise.resolve(); // one call at a time, whichever end it comes from

/** Answer with functions by their names; arrays in a result are given away, not copied. */
export function answerCalls(end, calls) {
  const answer = async ({ data: { number, call, value } }) => {
    try {
      const result = await calls[call](value);
      const arrays = Object.values(result ?? {}).filter(ArrayBuffer.isView);
      end.postMessage({ number, result }, arrays.map(({ buffer }) => buffer));
    } catch (error) {
      end.postMessage({ number, error: error?.message || `${error}` });
    }
  };
  end.onmessage = (message) => (queue = queue.then(() => answer(message)));
}
