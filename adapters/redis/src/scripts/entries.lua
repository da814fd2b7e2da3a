-- Shared by rebuild.lua and repair.lua, after sessions.lua.

-- Runs a command on a key with pairs of words, many at once.
local function call_with_pairs(command, key, words)
  for at = 1, #words, 1000 do
    call(command, key, unpack(words, at, math.min(at + 999, #words)))
  end
end

-- The player in a stored body; nil where the body does not tell.
local function player_in(body)
  local len = byte(body, 1) or 0
  if len > 0 and #body > len then return sub(body, 2, 1 + len) end
end

-- The time of a session's last touch.
local function touched_at(header) return deadline(header) - unpack64(header, 72) end

-- The order of two sessions in their player's list, as far as their last touches tell.
local function is_older(a, b)
  if a.touched ~= b.touched then return a.touched < b.touched end
  return precedes(a.id, b.id)
end
