-- Changes the owner. ARGV: id, fence that was seen, version that was seen or nothing, incarnation of
-- the new owner, its node, nonce, ttl.
local id, seen, seen_version, owner, node, nonce, ttl =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local header, refused = writable(id)
if refused then
  advance()
  return refused
end
local body = stored_body(id)
local parts = parts_of(header, body)
if sub(header, 16, 31) == nonce and incarnation(header) == owner and parts.node == node then
  advance()
  if not is_live(header) then
    header = extended(header, ttl)
    write_header(id, header)
  end
  return { 'done', now, id, header, body }
end
if fence(header) ~= seen then
  advance()
  return fenced(id, header)
end
if seen_version ~= '' and sub(header, 32, 39) ~= seen_version then
  advance()
  return { 'version', version(header) }
end
advance()
end_login(id, header)
header = held_by(extended(handed_to(header, owner, nonce), ttl), nil)
body = parts.player .. node .. '\0\0' .. parts.rest
write_session(id, header, body)
return { 'done', now, id, header, body }
