// Sends an image. The server answers in lines of json: how many images are ahead, as long as
// that changes, and at last the result or an error.
export function send(file, onProgress) {
  const request = new XMLHttpRequest();
  let read = 0;
  let last = {};
  function readLines() {
    const end = request.responseText.lastIndexOf('\n') + 1;
    for (const line of request.responseText.slice(read, end).split('\n')) {
      if (!line) continue;
      last = JSON.parse(line);
      if ('ahead' in last) onProgress(last);
    }
    read = end;
  }
  const result = new Promise((resolve, reject) => {
    const fail = (message) => reject(new Error(message));
    request.upload.onprogress = ({loaded, total}) => onProgress({sent: loaded / total});
    request.onprogress = () => request.status === 200 && readLines();
    request.onload = () => {
      if (request.status !== 200) return fail(request.responseText);
      readLines();
      if (last.result) resolve(last.result);
      else fail(last.error || 'the server ended before the result; drop the image again');
    };
    request.onerror = () => fail('the server does not answer; see whether it still runs');
    request.onabort = () => reject(new DOMException('cancelled', 'AbortError'));
  });
  request.open('POST', 'entities');
  request.setRequestHeader('X-File-Name', encodeURIComponent(file.name));
  request.send(file);
  return {result, cancel: () => request.abort()};
}
