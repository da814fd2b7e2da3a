-- Brings a session back that this partition lost. ARGV: id, player, header (under the next epoch), body,
-- the fence under which its owner held it, most live sessions.
local id, player, header, body, own, max = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local new = parts_of(header, body)
local ttl = sub(header, 72, 79)
local standing, refused = writable(id)
if refused and refused[1] ~= 'missing' then
  advance()
  return refused
end
if standing then
  local stored = stored_body(id)
  local parts = parts_of(standing, stored)
  local repeated = sub(standing, 16, 31) == sub(header, 16, 31)
    and incarnation(standing) == incarnation(header) and parts.node == new.node
  if player_of(stored) ~= player or not (repeated or fence(standing) == own) then
    advance()
    return fenced(id, standing)
  end
  advance()
  if not is_live(standing) then
    standing = extended(standing, ttl)
    write_header(id, standing)
  end
  return { 'done', now, id, standing, stored }
end
local live, expired = {}, {}
for _, session in ipairs(linked(player)) do
  if is_live(session.header) then
    live[#live + 1] = session
  else
    expired[#expired + 1] = unlinking(session)
  end
end
if #live >= max then
  advance()
  return { 'exists', #live }
end
advance()
for _, session in ipairs(expired) do unlink(session) end
header = extended(header, ttl)
write_session(id, header, body)
live[#live + 1] = { id = id }
write_linked(player, live)
return { 'done', now, id, header, body }
