-- The membership now. Moves the lease clock on and reaps nothing.
local answer = membership(lag)
advance()
return { 'done', answer }
