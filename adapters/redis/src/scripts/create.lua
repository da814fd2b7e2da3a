-- Logs a player in.
-- ARGV: id, player, header, body, mode, most live sessions. Header and body are those of a new
-- session without a deadline and without displaced holds.
local id, player, header, body, mode, max = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local new = parts_of(header, body)
local ttl = sub(header, 72, 79)

-- The login was made before?
local found, tombstone = look_up(id)
local list = linked(player)
local again
if tombstone then
  advance()
  return { 'ended', reason(tombstone) }
elseif found then
  if player_of(stored_body(id)) ~= player then
    advance()
    return { 'exists', 'player' }
  elseif not has(found, LOGIN) or login(found) ~= id then
    advance()
    return { 'ended', 2 }
  end
  again = { id = id, header = found }
elseif recovering(list) then
  advance()
  return recovering(list)
else
  for _, session in ipairs(list) do
    if has(session.header, LOGIN) and login(session.header) == id then
      again = session
      break
    end
  end
end
if again then
  local stored = stored_body(again.id)
  local parts = parts_of(again.header, stored)
  advance()
  if sub(again.header, 16, 31) ~= sub(header, 16, 31) or incarnation(again.header) ~= incarnation(header)
    or parts.node ~= new.node then
    return { 'exists', 'login' }
  end
  if not is_live(again.header) then
    again.header = extended(again.header, ttl)
    write_header(again.id, again.header)
  end
  return { 'done', now, again.id, again.header, stored }
end

-- Who lives, and who ends.
local live, expired = {}, {}
for _, session in ipairs(list) do
  if is_live(session.header) then
    live[#live + 1] = session
  else
    expired[#expired + 1] = unlinking(session)
  end
end
local ending, target = 0, nil
if mode == 'reject' then
  if #live > 0 then
    advance()
    return { 'exists', 'live' }
  end
elseif mode == 'replace' then
  ending = #live
elseif mode == 'allow' then
  ending = math.max(#live + 1 - max, 0)
elseif mode == 'anyone' then
  target = live[#live]
else
  for i = #live, 1, -1 do
    if incarnation(live[i].header) == incarnation(header)
      and parts_of(live[i].header, stored_body(live[i].id)).node == new.node then
      target = live[i]
      break
    end
  end
  local untouched = (mode == 'existing' or not target) and (target or live[#live])
  if untouched then
    local stored = stored_body(untouched.id)
    advance()
    return { 'untouched', now, untouched.id, untouched.header, stored }
  end
end
local holds = {}
for i = 1, ending do
  holds[i] = hold_of(live[i].id, live[i].header, parts_of(live[i].header, stored_body(live[i].id)))
end
local taken
if target then
  taken = parts_of(target.header, stored_body(target.id))
  holds[1] = hold_of(target.id, target.header, taken)
end

-- From here on it writes.
if AT_LIMIT then error({ err = 'OOM a login that changes sessions takes memory' }) end
advance()
for _, session in ipairs(expired) do unlink(session) end
for i = 1, ending do end_session(live[i].id, live[i].header, DISPLACED, NO_PROOF) end
local left = {}
for i = ending + 1, #live do left[#left + 1] = live[i] end
local holds_text = pack('<I2', #holds) .. table.concat(holds)
if target then
  end_login(target.id, target.header)
  header = handed_to(target.header, incarnation(header), sub(header, 16, 31))
  header = held_by(extended(header, ttl), id)
  body = taken.player .. new.node .. holds_text .. taken.rest
  id = target.id
else
  header = extended(header, ttl)
  body = new.player .. new.node .. holds_text .. new.rest
  left[#left + 1] = { id = id }
end
write_session(id, header, body)
write_linked(player, left)
return { 'done', now, id, header, body }
