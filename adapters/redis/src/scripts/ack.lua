-- Ends an expired session that was taken. ARGV: id, token.
local id, token = ARGV[1], ARGV[2]
local header, tombstone = look_up(id)
if not header then
  advance()
  if not tombstone then return { 'missing' } end
  if sub(tombstone, 15) == EXPIRED .. token then return { 'done' } end
  return { 'ended', reason(tombstone) }
end
if not has(header, TAKEN) or sub(header, 80, 95) ~= token then
  advance()
  return { 'void' }
end
local player = player_of(stored_body(id))
local left = not has(header, UNLINKED) and ids_without(player, id)
advance()
end_session(id, header, EXPIRED, token)
if left then write_linked(player, left) end
return { 'done' }
