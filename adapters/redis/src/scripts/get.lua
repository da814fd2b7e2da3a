-- A live session by its id. ARGV: id.
local header = look_up(ARGV[1])
if not header or not is_live(header) then return { 'done', now } end
return { 'done', now, ARGV[1], header, stored_body(ARGV[1]) }
