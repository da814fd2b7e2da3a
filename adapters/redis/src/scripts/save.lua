-- Writes data and touches. ARGV: id, fence, version, ttl, operation, data behind its length.
local id, seen, ttl, operation = ARGV[1], ARGV[2], ARGV[4], ARGV[5]
local header, refused = writable(id)
if refused then
  advance()
  return refused
end
-- The repetition of the last write is answered before its fence is looked at: it did happen.
if has(header, SAVED) and sub(header, 104, 119) == operation then
  advance()
  return { 'done', unpack64(header, 120) }
end
if fence(header) ~= seen then
  advance()
  return fenced(id, header)
end
if sub(header, 32, 39) ~= ARGV[3] then
  advance()
  return { 'version', version(header) }
end
local body = stored_body(id)
local parts = parts_of(header, body)
-- Behind the holds come, in postcard, the session's id and the player; then the data.
local partition, player = byte(id, 1) * 256 + byte(id, 2), byte(body, 1)
local cut = 16 + (partition < 128 and 1 or 2) + (player < 128 and 1 or 2) + player
local ahead = #body - #parts.rest
if #body < ahead + cut then corrupt('the body of a session ends too early') end
if AT_LIMIT and ahead + cut + #ARGV[6] > #body then
  error({ err = 'OOM the data is longer than what it replaces' })
end
advance()
local next = pack('<I8', version(header) + 1)
header = sub(header, 1, 31) .. next .. sub(header, 40, 103) .. operation .. next .. sub(header, 128)
header = extended(with_flags(header, SAVED, 0), ttl)
write_session(id, header, sub(body, 1, ahead + cut) .. ARGV[6])
return { 'done', version(header) }
