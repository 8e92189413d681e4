-- A replica only answers questions: whatever could change something is refused before the database sees it.
function IncomingHttpRequestFilter(method, uri, ip, username, httpHeaders)
   return method == 'GET'
end
