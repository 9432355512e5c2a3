-- An endless loop in the chunk itself.
-- load: steps
while true do end
