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
-- What stays in the player's list, in its order.
local left, live, expired, named, awaited = {}, 0, {}, false, false
for _, session in ipairs(linked(player)) do
  if session.header and not is_live(session.header) then
    expired[#expired + 1] = unlinking(session)
  else
    left[#left + 1] = session
    if session.id == id then
      named = true
    elseif session.header then
      live = live + 1
    else
      awaited = true
    end
  end
end
-- The list is older than the loss and names other sessions: this one had ended.
if awaited and not named then
  advance()
  return { 'ended', 2 }
end
if live >= max then
  advance()
  return { 'exists', live }
end
advance()
for _, session in ipairs(expired) do unlink(session) end
header = extended(header, ttl)
write_session(id, header, body)
if not named then left[#left + 1] = { id = id } end
write_linked(player, left)
return { 'done', now, id, header, body }
