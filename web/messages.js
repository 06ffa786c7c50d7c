// Calls from one thread to another: {call, value, back} there, and on the port `back` a {result} or an {error}.

/** Returns call(name, value), a promise of the answer; `fail(error)` is told what befell the worker as a whole. */
export function callsTo(worker, fail) {
  worker.onerror = (event) => {
    event.preventDefault(); // it is told to the reader
    fail(new Error(event.message || "a part of this page could not be loaded"));
  };
  return (call, value) =>
    new Promise((resolve, reject) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = ({ data: { result, error } }) => {
        port1.close();
        return error ? reject(new Error(error)) : resolve(result);
      };
      worker.postMessage({ call, value, back: port2 }, [port2]);
    });
}

let queue = Promise.resolve(); // one call at a time
const arraysIn = (result) => Object.values(result ?? {}).filter(ArrayBuffer.isView).map(({ buffer }) => buffer);

/** Answer with functions by their names; arrays in a result are given away, not copied. */
export function answerCalls(calls) {
  self.onmessage = ({ data: { call, value, back } }) => {
    queue = queue.then(() => calls[call](value)).then(
      (result) => back.postMessage({ result }, arraysIn(result)),
      (error) => back.postMessage({ error: error?.message || `${error}` }),
    );
  };
}
