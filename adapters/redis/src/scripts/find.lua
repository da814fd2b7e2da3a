-- The live sessions of a player, oldest first. ARGV: player.
local found = { 'done', now }
for _, session in ipairs(linked(ARGV[1])) do
  if is_live(session.header) then
    found[#found + 1] = session.id
    found[#found + 1] = session.header
    found[#found + 1] = stored_body(session.id)
  end
end
return found
