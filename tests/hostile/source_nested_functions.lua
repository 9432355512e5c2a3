-- Functions to the parser's depth.
-- load: syntax|policy
return
--@ repeat 1000 function() return
1
--@ repeat 1000 end
