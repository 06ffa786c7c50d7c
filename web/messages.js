// Calls from one thread to another, each answered by a promise: {number, call, value} there, and
// {number, result} or {number, error} back. Besides, a worker tells how far it is: {stage, share}.

/** The caller's end. `hear(stage, share)` is told how far the other end is; `handed` is given away. */
export function callsTo(end, hear) {
  const waiting = [];
  end.onmessage = ({ data: { number, result, error, stage, share } }) => {
    if (stage) hear(stage, share);
    else if (error) waiting[number].reject(new Error(error));
    else waiting[number].resolve(result);
  };
  end.onerror = (event) => {
    event.preventDefault(); // it is told to whoever has called
    for (const one of waiting) one.reject(new Error(event.message || "a part of this page could not be loaded"));
  };
  return (call, value, handed = []) =>
    new Promise((resolve, reject) => {
      end.postMessage({ number: waiting.push({ resolve, reject }) - 1, call, value }, handed);
    });
}

let queue = Promise.resolve(); // one call at a time, whichever end it comes from

/** The end that answers, with functions by name; arrays in a result are given away. */
export function answerCalls(end, calls) {
  end.onmessage = ({ data: { number, call, value } }) => {
    queue = queue
      .then(() => calls[call](value))
      .then((result) => {
        const arrays = Object.values(result ?? {}).filter(ArrayBuffer.isView);
        end.postMessage({ number, result }, arrays.map((array) => array.buffer));
      })
      .catch((error) => end.postMessage({ number, error: error?.message ?? `${error}` }));
  };
}
